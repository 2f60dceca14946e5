import { type Clock, DiptychError, systemClock } from '@diptych/kernel';
import { httpProbe, type Probe } from './probe.js';

export interface PollOptions {
  /** What to poll: http and https URLs. Duplicates are polled once. An asynchronous source may give more of them later. */
  urls: Iterable<string | URL> | AsyncIterable<string | URL>;
  /** Tasks that poll, and so requests under way at once. Default 4. */
  pollers?: number | undefined;
  /** From the answer of a URL that is up to the next request. Default 1,000. */
  intervalMs?: number | undefined;
  /** For the whole request, until the headers of its answer. Default 500. */
  timeoutMs?: number | undefined;
  /** The longest wait for a URL that stays down; `intervalMs` switches backing off off. Default ten times `intervalMs`. */
  backoffMaxMs?: number | undefined;
  /** Seed of the jitter of backing off. Default random. */
  seed?: number | undefined;
  /** Default `GET`. */
  method?: 'GET' | 'HEAD' | undefined;
  /** Whether an answer with this status means up. Default: 200 to 299. Redirects are not followed. Must not throw. */
  isUp?: ((status: number, url: string) => boolean) | undefined;
  /** Ends the polling at once. */
  signal?: AbortSignal | undefined;
  /** URLs polled at most. Default 10,000. */
  urlsMax?: number | undefined;
  /** Changes that may wait for a slow consumer. When they do, polling stands still. Default 16. */
  changesMax?: number | undefined;
  clock?: Clock | undefined;
  /** How one request is made. Default: a connection of its own each time. */
  probe?: Probe | undefined;
}

export type CheckedOptions = Omit<Required<PollOptions>, 'urls' | 'signal'>;

/** @throws INVALID_REQUEST that names the option */
export function checkedOptions(options: PollOptions): CheckedOptions {
  const intervalMs = atLeast(1, 'intervalMs', options.intervalMs ?? 1_000);
  return {
    pollers: wholeAtLeast(1, 'pollers', options.pollers ?? 4),
    intervalMs,
    timeoutMs: atLeast(1, 'timeoutMs', options.timeoutMs ?? 500),
    backoffMaxMs: atLeast(intervalMs, 'backoffMaxMs', options.backoffMaxMs ?? 10 * intervalMs),
    seed: wholeAtLeast(0, 'seed', options.seed ?? Math.floor(Math.random() * 2 ** 31)),
    method: options.method ?? 'GET',
    isUp: options.isUp ?? ((status) => status >= 200 && status <= 299),
    urlsMax: wholeAtLeast(1, 'urlsMax', options.urlsMax ?? 10_000),
    changesMax: wholeAtLeast(0, 'changesMax', options.changesMax ?? 16),
    clock: options.clock ?? systemClock,
    probe: options.probe ?? httpProbe,
  };
}

/** @throws INVALID_REQUEST for what is no http or https URL, or carries credentials, which would end up in reports */
export function checkedUrl(given: string | URL): URL {
  if (!URL.canParse(String(given)))
    throw new DiptychError('INVALID_REQUEST', `${JSON.stringify(String(given))} is not a URL to poll; write http://host:port/path`);
  const url = new URL(given);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new DiptychError('INVALID_REQUEST', `${url.href} cannot be polled: only http and https can`);
  if (url.username || url.password)
    throw new DiptychError('INVALID_REQUEST', `a URL of ${url.host} cannot be polled: it carries credentials`);
  url.hash = '';
  return url;
}

function atLeast(min: number, name: string, value: number): number {
  if (Number.isFinite(value) && value >= min) return value;
  throw new DiptychError('INVALID_REQUEST', `${name} must be ${min} or more, is ${value}`);
}

function wholeAtLeast(min: number, name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= min) return value;
  throw new DiptychError('INVALID_REQUEST', `${name} must be a whole number of ${min} or more, is ${value}`);
}
