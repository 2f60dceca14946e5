import type { Member } from '../src/nats/routing/member.js';
import { Members } from '../src/nats/routing/members.js';
import type { Span } from './standstills.js';
import { sharedMs } from './standstills.js';

/** That a member was taken for frozen: which, and how long nothing had been heard of it until then. */
export interface Ejection extends Span {
  readonly instance: string;
}

/** Notes each one in this process, of which a link tells no more than how many there were. Disposing ends it. */
export class Ejections implements Disposable {
  readonly noted: Ejection[] = [];
  readonly #restore: () => void;

  constructor() {
    const out = new WeakSet<Member>();
    const look = (members: Members) => {
      for (const member of members.listening) {
        if (!member.ejected) out.delete(member);
        else if (!out.has(member)) {
          out.add(member);
          this.noted.push({ instance: member.instance, beginMs: sharedMs(member.heardMs), endMs: sharedMs(performance.now()) });
        }
      }
    };
    // The two by which somebody may be ejected.
    const { alive, roundPassed } = Members.prototype;
    Members.prototype.alive = function (member) {
      alive.call(this, member);
      look(this);
    };
    Members.prototype.roundPassed = function (startedMs) {
      roundPassed.call(this, startedMs);
      look(this);
    };
    this.#restore = () => void Object.assign(Members.prototype, { alive, roundPassed });
  }

  [Symbol.dispose](): void {
    this.#restore();
  }
}
