import 'reflect-metadata';
import { DiptychServer } from '../../src/nest/index.js';

/** As `probe-server.ts`, by Nest patterns: it writes `serving`, then one line for each message, and ends on SIGTERM by itself. */
const server = new DiptychServer({ servers: process.argv[2]!, queue: 'probe' });
server.addHandler('probe.echo', async (text: string) => {
  console.log(`ran ${text}`);
  return text;
});
await new Promise<void>((resolve, reject) => {
  void server.listen((error) => (error ? reject(new Error('it cannot serve', { cause: error })) : resolve()));
});
console.log('serving');
process.once('SIGTERM', () => void server.close());
