import fs from 'node:fs';

/**
 * What group commit costs with nothing around it: records that wait are copied into one buffer, written with one write, synced with one
 * `fdatasync`, and each promise is resolved. No checksum, index, dedupe window, condition, deadline or bound.
 */
export class BareLog implements AsyncDisposable {
  readonly #descriptor: number;
  #buffer = Buffer.allocUnsafeSlow(4 * 1024 * 1024);
  #waiting: Array<{ record: Buffer; resolve: () => void }> = [];
  #position = 0;
  #running = false;

  constructor(path: string) {
    this.#descriptor = fs.openSync(path, 'w');
  }

  append(record: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ record, resolve });
      if (!this.#running) void this.#run();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return settle((done) => fs.close(this.#descriptor, done));
  }

  async #run(): Promise<void> {
    this.#running = true;
    // As in the engine: those who ask in this turn of the event loop are of one batch.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      let length = 0;
      for (const { record } of batch) length += record.copy(this.#buffer, length);
      await settle((done) => fs.write(this.#descriptor, this.#buffer, 0, length, this.#position, done));
      await settle((done) => fs.fdatasync(this.#descriptor, done));
      this.#position += length;
      for (const { resolve } of batch) resolve();
      // Callers who were answered ask again before the next batch is taken.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#running = false;
  }
}

function settle(start: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())));
}
