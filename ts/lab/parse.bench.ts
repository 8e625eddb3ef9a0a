/**
 * Matches of a whole cloud, made by the installed ovn-northd, parsed and annotated:
 * `node parse.bench.js [PROJECTS]` prints the time and its ratio to JSON.parse of the rows.
 */
import { measureParse } from '../lflow/parse.bench.js';
import { Lab } from './lab.js';
import { applyOpenstackShape, largeShape, southboundRows } from './openstack_shape.js';

const projects = Number(process.argv[2] ?? largeShape.projects);
const lab = await Lab.start({ chassis: [] });
try {
  applyOpenstackShape(lab, { ...largeShape, projects });
  const { rows, problems, jsonMs, parseMs } = measureParse(southboundRows(lab, 'Logical_Flow'),
    '23.03');
  console.log(`${rows} logical flows: JSON.parse ${jsonMs.toFixed(0)} ms, parse and annotate `
    + `${parseMs.toFixed(0)} ms, ratio ${(parseMs / jsonMs).toFixed(2)}, ${problems} problems`);
} finally {
  lab.close();
}
