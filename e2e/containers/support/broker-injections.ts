import { prove } from './injections.js';
import type { Injection } from './outage.js';
import { BROKERS, type Panels, type PartName } from './panels.js';

/* What can be done to one broker of three. */

/** The broker that most clients are at: another could go without anybody's notice. */
async function busiestBroker(panels: Panels): Promise<PartName> {
  const counts: Array<readonly [PartName, number]> = [];
  for (const broker of BROKERS) {
    const { output } = await panels.exec(broker, ['wget', '-qO-', 'http://127.0.0.1:8222/connz']);
    counts.push([broker, (JSON.parse(output) as { num_connections: number }).num_connections]);
  }
  const [[broker, clients]] = counts.sort(([, a], [, b]) => b - a) as [readonly [PartName, number]];
  prove(clients > 0, `nobody is connected: ${JSON.stringify(counts)}`);
  return broker;
}

/** What is done to one broker of three, chosen when it begins. */
export function toBusiestBroker(injectionFor: (broker: PartName) => Injection): Injection {
  let chosen: Injection | undefined;
  return {
    async begin(panels) {
      chosen = injectionFor(await busiestBroker(panels));
      return chosen.begin(panels);
    },
    end: async (panels) => chosen?.end(panels),
  };
}

export function cutOff(part: PartName): Injection {
  let putBack: (() => Promise<void>) | undefined;
  return {
    async begin(panels) {
      putBack = await panels.cutOff(part);
      const { output } = await panels.exec(part, ['ip', '-o', '-4', 'address']);
      const { running } = await panels.state(part);
      prove(running && !/eth/.test(output), `${part} still has an address: ${output}`);
      return `${part}: runs, and has no interface but its own loopback`;
    },
    end: async () => putBack?.(),
  };
}
