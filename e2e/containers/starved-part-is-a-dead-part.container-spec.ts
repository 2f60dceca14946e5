import { starve } from './support/slow-injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: a part that gets next to no processor time costs no more than one that is dead, and it goes on where it was when it has its time
 * again.
 * Method: the kernel's bandwidth control gives its container a thousandth of a core; its own account of throttling is the proof.
 */
describeOutages('starved', ({ name }) => starve(name));
