import { createHash } from 'node:crypto';
import { nkeys } from 'nats';

// The client's types of its keys are `any`.
interface KeyPair {
  getPublicKey(): string;
  getSeed(): Uint8Array;
  sign(input: Uint8Array): Uint8Array;
}
const { createOperator, createAccount, createUser } = nkeys as Record<
  'createOperator' | 'createAccount' | 'createUser',
  () => KeyPair
>;

const UNLIMITED = { subs: -1, data: -1, payload: -1 };
const JETSTREAM = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
const ACCOUNT = { imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };

/** An operator with one account for services: a server that knows its users by signed claims alone. */
export class JwtAccess {
  readonly #operator = createOperator();
  readonly #system = createAccount();
  readonly #account = createAccount();
  readonly #user = createUser();

  /** Lines of server configuration. */
  get config(): string {
    const [operator, system, account] = [this.#operator, this.#system, this.#account];
    const limits = { ...UNLIMITED, ...ACCOUNT };
    const claims = {
      [system.getPublicKey()]: sign(operator, system, 'SYS', { type: 'account', limits }),
      [account.getPublicKey()]: sign(operator, account, 'A', {
        type: 'account',
        limits: { ...limits, ...JETSTREAM },
      }),
    };
    const preload = Object.entries(claims).map(([key, jwt]) => `${key}: "${jwt}"`);
    return [
      `operator: "${sign(operator, operator, 'O', { type: 'operator' })}"`,
      `system_account: ${system.getPublicKey()}`,
      'resolver: MEMORY',
      `resolver_preload: { ${preload.join(', ')} }`,
    ].join('\n');
  }

  /**
   * The credentials file of the account's user.
   * @param lifetime seconds from now, at least one. Default: for ever
   */
  credentials(lifetime?: number): string {
    // The server counts whole seconds.
    const expiry = lifetime === undefined ? {} : { exp: Math.ceil(Date.now() / 1000) + lifetime };
    const jwt = sign(this.#account, this.#user, 'app', { type: 'user', ...UNLIMITED }, expiry);
    const block = (title: string, text: string): string =>
      `-----BEGIN ${title}-----\n${text}\n------END ${title}------\n`;
    const seed = Buffer.from(this.#user.getSeed()).toString();
    return block('NATS USER JWT', jwt) + block('USER NKEY SEED', seed);
  }
}

/** Claims as NATS writes them (ADR-14 of its architecture): a JWT whose signature is made with the issuer's nkey. */
function sign(
  issuer: KeyPair,
  subject: KeyPair,
  name: string,
  nats: Readonly<Record<string, unknown>>,
  more: { exp?: number } = {},
): string {
  const claims = {
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    name,
    sub: subject.getPublicKey(),
    nats: { ...nats, version: 2 },
    ...more,
  };
  const jti = createHash('sha256').update(JSON.stringify(claims)).digest('hex');
  const signed = [
    { typ: 'JWT', alg: 'ed25519-nkey' },
    { jti, ...claims },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`;
}
