// `nx serve nats`: owns a broker while it runs. It ends with the broker, the broker ends with it, and SIGTERM and SIGINT end both.
import { SetupProblem } from '../setup/problem.mjs';
import { brokerPort, startBroker } from './broker.ts';

try {
  const broker = await startBroker(brokerPort(), (line) => console.log(line));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void broker.stop());
  console.log(`nats-server answers at ${broker.url}`);
  const { asked, status } = await broker.ended;
  if (!asked) console.error(`nats-server ended by itself with status ${status}.`);
  process.exitCode = asked ? 0 : 1;
} catch (error) {
  if (!(error instanceof SetupProblem)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
