/** The cache's tests again, for the TC object. */
import './dataplane_tc.fixture.js';
import './cache.root.test.js';
import './cache_connections.root.test.js';
import './cache_property.root.test.js';
