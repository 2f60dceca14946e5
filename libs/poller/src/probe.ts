import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/**
 * Makes one request and gives the status of its answer; whatever hinders an answer is thrown. When `signal` aborts, nothing
 * of the request may be left: no socket, no timer.
 */
export type Probe = (url: URL, options: { method: 'GET' | 'HEAD'; signal: AbortSignal }) => Promise<number>;

/**
 * On a connection of its own, so that a server that no longer accepts is seen as down, though an older connection still
 * works. It is closed as soon as the headers are there.
 *
 * Not `fetch`: after an abort that keeps a socket which is still connecting, for up to ten seconds (Node 24).
 */
export const httpProbe: Probe = (url, { method, signal }) =>
  new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const request = send(url, { method, signal, agent: false, headers: { accept: '*/*', 'user-agent': 'diptych-poller' } });
    request.on('response', (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    request.on('error', reject);
    request.end();
  });
