import { slowDisk } from './support/slow-injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: a disk that takes long to sync makes writes late, and one that takes longer than users wait takes writes away; reads go on.
 * Method: strace holds every fsync and fdatasync of the part for a time; what it measured of each is the proof.
 */
describeOutages('slowDisk', ({ name }) => slowDisk(name, 200));
describeOutages('stuckDisk', ({ name }) => slowDisk(name, 2_000));
