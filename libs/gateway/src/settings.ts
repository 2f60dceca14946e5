import { defineSettings, type SettingsOf } from '@diptych/host';
import { Type } from 'typebox';
import { checkAccess } from './access.js';
import { API_KEY_CHARS_MIN } from './api-key.js';
import { GATEWAY_DEFAULTS } from './gateway.js';

export const GATEWAY_SETTINGS = defineSettings(
  'gateway',
  {
    requestTimeoutMs: Type.Integer({
      default: GATEWAY_DEFAULTS.requestTimeoutMs,
      minimum: 1,
      maximum: 600_000,
      description:
        'How long a request may take, in milliseconds, from its headers to its answer. A client can ask for less, never for more.',
    }),
    inFlightMax: Type.Integer({
      default: GATEWAY_DEFAULTS.inFlightMax,
      minimum: 1,
      maximum: 1_000_000,
      description: 'How many requests are answered at once. One more gets 503 at once.',
    }),
    bodyBytesMax: Type.Integer({
      default: GATEWAY_DEFAULTS.bodyBytesMax,
      minimum: 1_000_000,
      maximum: 10_000_000_000,
      description: 'How many bytes of request bodies are held at once, of all requests together. More gets 503.',
    }),
    apiKey: Type.Optional(
      Type.String({
        minLength: API_KEY_CHARS_MIN,
        pattern: '^[\\x21-\\x7e]+$',
        allowed: `${API_KEY_CHARS_MIN} or more visible ASCII characters`,
        secret: true,
        description:
          'The key clients must send as `Authorization: Bearer <key>`. Without it, and without a file of keys, none is asked for.',
      }),
    ),
    apiKeysFile: Type.Optional(
      Type.String({ description: 'A file of such keys, one a line; lines that begin with # do not count. Read once, at the start.' }),
    ),
    allowAnonymous: Type.Boolean({
      default: false,
      description: 'Serve without API keys although the address is no loopback address: whoever reaches the port may do everything.',
    }),
  },
  checkAccess,
);

export type GatewaySettings = SettingsOf<typeof GATEWAY_SETTINGS>;
