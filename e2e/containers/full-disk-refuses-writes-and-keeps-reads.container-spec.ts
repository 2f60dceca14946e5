import { fillDisk } from './support/injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: a full disk takes writes away, with a code that says so, and reads go on; with space again writes do too.
 * Method: a ballast file fills the disk until ENOSPC, writes use up what room the log has written ahead, ballast fills what that gave back; then it is removed.
 */
describeOutages('fullDisk', ({ name }) => fillDisk(name));
