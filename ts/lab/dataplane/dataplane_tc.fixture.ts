/** Imported first: from here on dataplane.fixture.ts means the TC object. */
process.env['OVN_XDP_HOOK'] = 'tc';
