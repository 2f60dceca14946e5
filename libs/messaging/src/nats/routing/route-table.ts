import type { FaultListener } from '../../faults.js';
import type { PortDescriptor, PortIdentity } from '../../port.js';
import { membersSubject } from './beat.wire.js';
import type { Line, RoutingCounts } from './live-routes.js';
import { LiveRoutes } from './live-routes.js';
import { PatternRoutes } from './pattern-routes.js';
import type { Destination, Routes } from './routes.js';
import { anyoneOf } from './routes.js';

/** The routes of a link, one for each port it has clients of. There are as many as ports, and they end with the link. */
export class RouteTable {
  readonly #line: Line;
  readonly #onLost: (destination: Destination) => void;
  readonly #onFault: FaultListener;
  readonly #routes = new Map<string, LiveRoutes>();
  #closed = false;

  /** @param onLost nobody is at the destination any more: what is outstanding there will not be answered */
  constructor(line: Line, onLost: (destination: Destination) => void, onFault: FaultListener) {
    this.#line = line;
    this.#onLost = onLost;
    this.#onFault = onFault;
  }

  get counts(): RoutingCounts {
    const counts = { members: 0, ejected: 0, ejections: 0 };
    for (const { counts: more } of this.#routes.values()) {
      counts.members += more.members;
      counts.ejected += more.ejected;
      counts.ejections += more.ejections;
    }
    return counts;
  }

  /** A port whose subjects name no instance is left to its queue groups; so is one that has topics only. */
  to<Port>(port: PortDescriptor<Port>): Routes {
    const methods: ReadonlyArray<{ readonly kind: string }> = Object.values(port.methods);
    if (this.#closed || methods.every(({ kind }) => kind === 'topic')) return anyoneOf(port);
    if (!port.wire) return this.#live(port, false);
    // Of such ports a client has one method each.
    const [pattern] = Object.keys(port.methods);
    return port.wire.addressOf && pattern !== undefined ? new PatternRoutes(port, pattern, this.#live(port, true)) : anyoneOf(port);
  }

  #live(port: PortIdentity, withCatalogs: boolean): LiveRoutes {
    const key = membersSubject(port);
    let routes = this.#routes.get(key);
    if (!routes) {
      routes = new LiveRoutes(port, this.#line, { onLost: this.#onLost, onFault: this.#onFault, withCatalogs });
      this.#routes.set(key, routes);
    }
    return routes;
  }

  /** Safe to repeat. */
  close(): void {
    this.#closed = true;
    for (const routes of this.#routes.values()) routes.close();
  }
}
