// `npm run services`: the whole panel of services from source, with restart on change: a broker, then log, cache and gateway. Every line
// of output says whose it is. Ctrl-C stops them in the opposite order, so that nobody loses what it still needs for its drain.
import { brokerHost, brokerPort, natsAnswers, startBroker } from '../nats/broker.ts';
import { SetupProblem } from '../setup/problem.mjs';
import { Serving } from './served-app.ts';

const serving = new Serving();

try {
  const url = await haveBroker();
  for (const app of ['log', 'cache', 'gateway']) if (!serving.stopping) serve(app, url);
} catch (error) {
  if (!(error instanceof SetupProblem)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

/** A broker that runs already is used and left alone. */
async function haveBroker(): Promise<string> {
  const port = brokerPort();
  const print = printer('nats');
  if (await natsAnswers(port)) {
    print(`using the nats-server that already answers on port ${port}`);
    return `nats://${brokerHost}:${port}`;
  }
  const broker = await startBroker(port, print);
  serving.own(() => broker.stop());
  void broker.ended.then(({ asked, status }) => asked || serving.endedByItself(print, status));
  return broker.url;
}

function serve(app: string, natsUrl: string): void {
  const { DIPTYCH_HTTP_PORT: gatewayPort, ...env } = process.env;
  const ports = app === 'gateway' && gatewayPort ? { DIPTYCH_HTTP_PORT: gatewayPort } : {};
  serving.app(app, { ...env, DIPTYCH_NATS_URL: natsUrl, ...ports }, printer(app));
}

function printer(who: string): (line: string) => void {
  return (line) => console.log(`${who.padEnd(7)} | ${line}`);
}
