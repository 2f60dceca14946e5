import { describeBindings } from './bindings.contract.js';

describeBindings(['in-process', 'loopback', 'threads']);
