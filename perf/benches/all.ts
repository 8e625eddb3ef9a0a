/** Every benchmark, in the order they run. */
import type { Bench } from '../harness/bench.js';
import { aclSweep } from './acl_sweep.js';
import { chassisThroughput } from './chassis_throughput.js';
import { churn } from './churn.js';
import { controlPlane } from './control_plane.js';
import { failover } from './failover.js';
import { flowSweep } from './flow_sweep.js';
import { latency } from './latency.js';
import { lflowParse } from './lflow_parse.js';
import { newConnections } from './new_connections.js';
import { packetCost } from './packet_cost.js';
import { walkShape } from './walk_shape.js';

export const benches: readonly Bench[] = [
  packetCost, walkShape, aclSweep, chassisThroughput, flowSweep, churn, newConnections, latency,
  failover, lflowParse, controlPlane,
];
