import { Arm, ARMS, metricOf, MONOLITHS } from '@diptych/testing';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { conditionCases } from './conformance/conditions.cases.js';
import { entryCases } from './conformance/entries.cases.js';
import { idempotencyCases } from './conformance/idempotency.cases.js';
import { keyCases } from './conformance/keys.cases.js';
import { limitCases } from './conformance/limits.cases.js';
import { listingCases } from './conformance/listing.cases.js';
import { reportCases } from './conformance/report.cases.js';
import { routeCases } from './conformance/routes.cases.js';
import { slowClientCases } from './conformance/slow-clients.cases.js';
import { freshPrefix, type Subject } from './conformance/subject.js';
import { visibilityCases } from './conformance/visibility.cases.js';
import { HttpClient } from './support/http-client.js';

/*
 * One contract of HTTP, and the same cases in every arm: a client cannot tell how the system is deployed, except where the
 * promise itself differs (`seesAcknowledged`).
 */
describe.each(ARMS)('HTTP: $name', (spec) => {
  let arm: Arm;
  let http: HttpClient;
  const subject = (): Subject => ({
    origin: arm.url,
    http,
    seesAcknowledged: MONOLITHS.includes(spec),
    cacheCount: (name) => metricOf(arm.process(arm.holding('cache')).url, `diptych_cache_${name}_total`),
    prefix: freshPrefix,
  });

  beforeAll(async () => {
    // Short, so that a slow client need not be waited for long; long enough for a megabyte on a busy machine.
    arm = await Arm.start(spec, { variables: { DIPTYCH_HTTP_REQUEST_TIMEOUT_MS: '3000' } });
    http = new HttpClient(arm.url);
  });

  afterAll(async () => {
    await http?.[Symbol.asyncDispose]();
    await arm?.[Symbol.asyncDispose]();
  });

  entryCases(subject);
  keyCases(subject);
  limitCases(subject);
  slowClientCases(subject);
  conditionCases(subject);
  idempotencyCases(subject);
  listingCases(subject);
  reportCases(subject);
  routeCases(subject);
  visibilityCases(subject);

  it('stops cleanly and leaves nothing behind', async () => {
    await http[Symbol.asyncDispose]();
    await arm.stop();
  });
});
