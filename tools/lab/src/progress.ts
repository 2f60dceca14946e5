import { systemClock } from '@diptych/kernel';

/** Where a run stands, on stderr: a bar that redraws itself on a terminal, a line a step elsewhere. */
export class Progress {
  #totalSeconds: number;
  readonly #out: NodeJS.WriteStream;
  readonly #startedMs = systemClock.nowMs();
  readonly #timer: Disposable | undefined;
  #doneSeconds = 0;
  #step = '';
  #stepSeconds = 0;
  #stepStartedMs = this.#startedMs;

  /** @param totalSeconds what the whole is expected to take */
  constructor(totalSeconds: number, out: NodeJS.WriteStream = process.stderr) {
    this.#totalSeconds = totalSeconds;
    this.#out = out;
    this.#timer = out.isTTY ? systemClock.every(250, () => this.#draw(), { unref: true }) : undefined;
  }

  /** Begins a step that is expected to take so long; the one before is done. */
  step(what: string, expectedSeconds: number): void {
    this.#doneSeconds += this.#stepSeconds;
    this.#step = what;
    this.#stepSeconds = expectedSeconds;
    this.#stepStartedMs = systemClock.nowMs();
    if (this.#timer) this.#draw();
    else this.#out.write(`[${clock(this.#elapsedSeconds)} of about ${clock(this.#expectedSeconds)}] ${what}\n`);
  }

  /** More is to be done than was planned. */
  extend(seconds: number): void {
    this.#totalSeconds += seconds;
  }

  /** A line that stays. */
  note(line: string): void {
    this.#clear();
    this.#out.write(`${line}\n`);
  }

  end(): void {
    this.#timer?.[Symbol.dispose]();
    this.#clear();
  }

  get #elapsedSeconds(): number {
    return (systemClock.nowMs() - this.#startedMs) / 1000;
  }

  /** The plan, corrected by how fast it went so far. */
  get #expectedSeconds(): number {
    const behind = this.#doneSeconds === 0 ? 1 : (this.#stepStartedMs - this.#startedMs) / 1000 / this.#doneSeconds;
    return Math.max(this.#elapsedSeconds, this.#totalSeconds * Math.max(behind, 0.5));
  }

  #draw(): void {
    const within = Math.min(this.#stepSeconds, (systemClock.nowMs() - this.#stepStartedMs) / 1000);
    const share = Math.min(1, (this.#doneSeconds + within) / this.#totalSeconds);
    const left = Math.max(0, this.#expectedSeconds - this.#elapsedSeconds);
    const filled = Math.round(share * BAR);
    const line = `${'█'.repeat(filled)}${'░'.repeat(BAR - filled)} ${String(Math.round(share * 100)).padStart(3)} %  ${clock(left)} left  ${this.#step}`;
    this.#clear();
    this.#out.write(line.slice(0, (this.#out.columns || 100) - 1));
  }

  #clear(): void {
    if (this.#timer) this.#out.write('\r\x1b[2K');
  }
}

const BAR = 24;

function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}
