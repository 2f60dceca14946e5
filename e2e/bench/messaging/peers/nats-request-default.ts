import { requestPeer } from './nats-request.js';

/** The client library alone as it is by default: it keeps a stack for each request, so that an error says who asked. */
export const peer = requestPeer({});
