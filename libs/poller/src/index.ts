export { pollUrls, type State, type StateChange, type UrlPolling } from './poll-urls.js';
export { type PollOptions } from './poll-options.js';
export { httpProbe, type Probe } from './probe.js';
