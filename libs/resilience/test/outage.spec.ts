import { outageContract } from './outage.contract.js';

outageContract(['in-process', 'loopback']);
