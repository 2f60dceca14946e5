import { connectNats } from '../src/index.js';
import { Probe, probePort } from './probe-port.js';
import { tellStandstills } from './standstills.js';

/**
 * A process that serves the probe, for tests that stop or kill a server. It writes `serving as` its instance, then one line for each `echo` it runs and each time it stood
 * still, and ends on SIGTERM by itself, that is, without process.exit.
 */
const link = await connectNats({ servers: process.argv[2]!, name: 'probe-server', connectTimeoutMs: 30_000 });
const probe = new Probe();
const echo = probe.echo.bind(probe);
probe.echo = async (request) => {
  console.log(`ran ${request.text}`);
  return echo(request);
};
const { instance } = await link.serve(probePort, probe.port);
const telling = tellStandstills();
console.log(`serving as ${instance}`);
process.once('SIGTERM', () => {
  telling[Symbol.dispose]();
  void link.close(1_000);
});
