import type { BrokerAddress, BrokerInfo } from './broker.js';

/** What a broker says when it does not let us in, and what it may have missed. Shows no credentials. */
export function explainRefusal(refusal: string, { auth_required: isAsked, nonce }: BrokerInfo, { user }: BrokerAddress): string {
  if (!/^auth/i.test(refusal)) return refusal;
  if (nonce) return `${refusal}. It may want an NKey or a JWT; this client has users with passwords, and tokens`;
  return isAsked && user === undefined ? `${refusal}. The address has neither user nor token` : refusal;
}

export const SILENT =
  'it took the connection and said nothing: it stands still, or wants TLS from the first byte (handshake_first), which is not spoken here';
export const HEADERLESS =
  'the broker has no headers (`no_header_support`, or it is older than 2.2): it could not say that nobody serves a port, and calls would wait for their deadlines';
