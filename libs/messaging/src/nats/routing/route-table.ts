import type { PortDescriptor } from '../../port.js';
import { subjectOf } from '../../port.js';
import type { Line, RoutingCounts } from './live-routes.js';
import { LiveRoutes } from './live-routes.js';
import type { Destination, Routes } from './routes.js';
import { anyoneOf } from './routes.js';

/** The routes of a link, one for each port it has clients of. There are as many as ports, and they end with the link. */
export class RouteTable {
  readonly #line: Line;
  readonly #onLost: (destination: Destination) => void;
  readonly #routes = new Map<string, LiveRoutes>();
  #closed = false;

  /** @param onLost nobody is at the destination any more: what is outstanding there will not be answered */
  constructor(line: Line, onLost: (destination: Destination) => void) {
    this.#line = line;
    this.#onLost = onLost;
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

  /** A port with conventions of its own, whose subjects name no instance, is left to its queue groups; so is one that has topics only. */
  to<Port>(port: PortDescriptor<Port>): Routes {
    const methods: ReadonlyArray<{ readonly kind: string }> = Object.values(port.methods);
    if (this.#closed || port.wire || methods.every(({ kind }) => kind === 'topic')) return anyoneOf(port);
    const key = subjectOf(port, '');
    let routes = this.#routes.get(key);
    if (!routes) this.#routes.set(key, (routes = new LiveRoutes(port, this.#line, { onLost: this.#onLost })));
    return routes;
  }

  /** Safe to repeat. */
  close(): void {
    this.#closed = true;
    for (const routes of this.#routes.values()) routes.close();
  }
}
