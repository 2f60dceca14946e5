import type { BrokerAddress, BrokerInfo } from './broker.js';

/** What a broker says when it does not let us in, and what it may have missed. Shows no credentials. */
export function explainRefusal(refusal: string, { auth_required: isAsked, nonce }: BrokerInfo, { user }: BrokerAddress): string {
  if (!/^auth/i.test(refusal)) return refusal;
  if (nonce) return `${refusal}. It may want an NKey or a JWT; this client has users with passwords, and tokens`;
  return isAsked && user === undefined ? `${refusal}. The address has neither user nor token` : refusal;
}
