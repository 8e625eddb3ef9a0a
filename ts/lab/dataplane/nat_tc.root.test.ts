/** The tests of translations for the TC object. */
import './dataplane_tc.fixture.js';
import './nat.root.test.js';
import './nat_fragments.root.test.js';
