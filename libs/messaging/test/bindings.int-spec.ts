import { describeBindings } from './bindings.contract.js';

describeBindings(['nats']);
