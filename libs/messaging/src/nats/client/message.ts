import type { MsgHdrs } from '@nats-io/transport-node';
import { headers } from '@nats-io/transport-node';

/** A message as a subscription gets it. */
export interface Message {
  readonly subject: string;
  /** Where an answer is wanted. */
  readonly reply: string | undefined;
  /**
   * Up to `LENT_BYTES_MAX` bytes are lent: they lie where the next ones from the broker are read to, so whoever needs them after it has returned
   * makes a copy. More than that are the receiver's own.
   */
  readonly data: Buffer;
  readonly headers: MsgHdrs | undefined;
}

/** See `Message.data`. */
export const LENT_BYTES_MAX = 65_536;

/** Headers as they come: `NATS/1.0[ code[ description]]`, then `name: value` a line. Anybody may send anything: what is no such line is left out. */
export function parseHeaders(bytes: Buffer): MsgHdrs | undefined {
  const [first = '', ...lines] = bytes.toString('utf8').split('\r\n');
  const status = STATUS.exec(first);
  if (!status) return undefined;
  const code = Number(status[1]);
  // The library wants words with a code, where the broker gives none with its 503, and none without, where anybody may write some.
  const fields = code > 0 ? headers(code, status[2]!.trim() || `status ${code}`) : headers();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    try {
      fields.append(line.slice(0, colon), line.slice(colon + 1).trim());
    } catch {
      // The name, or the value, is none.
    }
  }
  return fields;
}

const STATUS = /^NATS\/1\.0\s*(\d*)(.*)$/;
