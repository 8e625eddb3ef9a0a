/** Every benchmark, in the order they run. */
import type { Bench } from '../harness/bench.js';
import { packetCost } from './packet_cost.js';
import { walkShape } from './walk_shape.js';

export const benches: readonly Bench[] = [packetCost, walkShape];
