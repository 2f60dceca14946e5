import { outageContract } from './outage.contract.js';

outageContract(['nats']);
