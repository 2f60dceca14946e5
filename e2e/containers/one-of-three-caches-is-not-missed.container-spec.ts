import { afterAll, beforeAll, inject } from 'vitest';
import { freeze, kill } from './support/injections.js';
import { describeOutages } from './support/outage.js';
import { Panels } from './support/panels.js';

/*
 * Goal: with three caches (`docker compose up --scale cache=3`) the death of one takes nothing away, and neither does its freezing, which
 * closes no connection.
 * Method: SIGKILL to one of their containers, and the same with a pause; what is answered is counted from two seconds after.
 */
const panels = new Panels(inject('panels'));
beforeAll(() => panels.scale('cache', 3));
afterAll(() => panels.scale('cache', 1));

const LATER = { lastsMs: 5_200, settlesMs: 2_000 };
describeOutages('killedOneOfThree', ({ name }) => ({ ...kill(name), ...LATER }));
describeOutages('frozenOneOfThree', ({ name }) => ({ ...freeze(name), ...LATER }));
