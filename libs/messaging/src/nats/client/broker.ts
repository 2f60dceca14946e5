/* What is said of a broker, and what one says of itself. */

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** Without TLS there is no connection. Else the broker decides. */
  readonly needsTls: boolean;
}

/** For TLS, each as PEM text. */
export interface TlsOptions {
  /** The authorities that are believed, in place of those that Node comes with. */
  readonly ca?: string;
  /** Who we are, for brokers that ask (`verify: true`), and the key to that. */
  readonly cert?: string;
  readonly key?: string;
}

export interface NatsClientOptions {
  readonly address: BrokerAddress;
  readonly tls?: TlsOptions | undefined;
  /** Of this process, as the broker shows it. */
  readonly name: string;
  /** Gives up. Has no effect once there is a connection. */
  readonly signal: AbortSignal;
}

/** What a broker says of itself. */
export interface BrokerInfo {
  readonly max_payload?: number;
  readonly headers?: boolean;
  readonly tls_required?: boolean;
  readonly tls_available?: boolean;
  readonly auth_required?: boolean;
  /** To be signed by whoever has an NKey, or a JWT and its key. */
  readonly nonce?: string;
  /** Lame duck mode: it takes no new connections, and will soon end those it has. */
  readonly ldm?: boolean;
  /** Of the other brokers of the cluster. */
  readonly connect_urls?: readonly string[];
}

/**
 * What a broker says of itself in a line of INFO. A field of another type than it has is left out: whoever answers at an address may say anything.
 *
 * @throws Error when it is no JSON object
 */
export function parseInfo(json: string): BrokerInfo {
  const said: unknown = JSON.parse(json);
  if (typeof said !== 'object' || said === null) throw new RangeError('the broker says nothing of itself');
  return Object.fromEntries(
    Object.entries(FIELDS).flatMap(([name, fits]) => {
      const value = (said as Record<string, unknown>)[name];
      return fits(value) ? [[name, value]] : [];
    }),
  );
}

const isFlag = (value: unknown) => typeof value === 'boolean';
const isText = (value: unknown) => typeof value === 'string';
const FIELDS: Readonly<Record<keyof BrokerInfo, (value: unknown) => boolean>> = {
  max_payload: (value) => typeof value === 'number' && value > 0,
  headers: isFlag,
  tls_required: isFlag,
  tls_available: isFlag,
  auth_required: isFlag,
  nonce: isText,
  ldm: isFlag,
  connect_urls: (value) => Array.isArray(value) && value.every(isText),
};
