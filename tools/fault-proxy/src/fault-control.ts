import type { FaultPoint, Faults, Tally } from './faults.js';

/** A proxy in another process, by its control address. The same calls as on a `FaultProxy`, each within `timeoutMs` (default 5,000). */
export class FaultControl implements FaultPoint {
  readonly #url: string;
  readonly #timeoutMs: number;

  constructor(controlUrl: string, name: string, options: { timeoutMs?: number } = {}) {
    this.#url = `${controlUrl}/v1/proxies/${name}`;
    this.#timeoutMs = options.timeoutMs ?? 5_000;
  }

  async setFaults(faults: Faults): Promise<void> {
    await this.#send('PUT', '/faults', JSON.stringify(faults));
  }

  async reset(): Promise<number> {
    return ((await (await this.#send('POST', '/reset')).json()) as { reset: number }).reset;
  }

  async tally(): Promise<Tally> {
    return ((await (await this.#send('GET', '')).json()) as { tally: Tally }).tally;
  }

  async #send(method: string, path: string, body: string | null = null): Promise<Response> {
    const response = await fetch(this.#url + path, { method, body, signal: AbortSignal.timeout(this.#timeoutMs) });
    if (!response.ok) throw new Error(`${method} ${this.#url}${path}: ${response.status} ${await response.text()}`);
    return response;
  }
}
