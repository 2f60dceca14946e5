import { eatMemory } from './support/injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: a part that has used up its memory is ended by the kernel, alone, and started again by the engine.
 * Method: other processes in its container take memory until the limit of the container is reached, each of them smaller than the part.
 */
describeOutages('outOfMemory', ({ name }) => eatMemory(name));
