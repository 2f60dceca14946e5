export type { Address } from './connection.js';
export { FaultControl } from './fault-control.js';
export { FaultProxy, type FaultProxyOptions } from './fault-proxy.js';
export {
  bothWays,
  PARTITION,
  type Direction,
  type FaultPoint,
  type Faults,
  type OneWayFaults,
  type OneWayTally,
  type Tally,
} from './faults.js';
