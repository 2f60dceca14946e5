import './overwrite-lent.js';
import { describeBindings } from './bindings.contract.js';

describeBindings(['nats']);
