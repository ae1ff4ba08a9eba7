import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  credsAuthenticator,
  ErrorCode,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
  type Authenticator,
  type ConnectionOptions,
} from 'nats';
import type { NatsCredentials } from './options';

/**
 * Secrets are read when connecting, each time, so that rotated ones are picked up. An authenticator that throws would make
 * the client close the connection for good: the server's refusal of an empty answer only makes it try again.
 * @param tell called with what is wrong, each time
 */
export function authenticatorOf(
  credentials: NatsCredentials,
  tell: (sentence: string) => void,
): ConnectionOptions['authenticator'] {
  const { user, pass, token, creds, nkeySeed, nkeyFile, authenticator } = credentials;
  const steady = (answer: Authenticator): Authenticator => {
    return (nonce) => {
      try {
        return answer(nonce);
      } catch (error) {
        const { message } = withoutPaths(error as Error, credentials);
        tell(`the credentials for NATS cannot be read: ${message}`);
        return undefined;
      }
    };
  };
  if (authenticator !== undefined) return authenticator.map(steady);
  if (creds !== undefined) return steady(credsAuthenticator(() => credsIn(creds)));
  if (nkeyFile !== undefined) return steady(nkeyAuthenticator(() => Buffer.from(textIn(nkeyFile))));
  if (nkeySeed !== undefined) return steady(nkeyAuthenticator(Buffer.from(nkeySeed)));
  if (token !== undefined) return tokenAuthenticator(token);
  if (user !== undefined) return usernamePasswordAuthenticator(user, pass);
  return undefined;
}

/** Whether there is a secret in what is sent to a server, which only TLS hides. */
export const secretInTheClear = ({ pass, token, allowInsecurePassword }: NatsCredentials): boolean =>
  (pass !== undefined || token !== undefined) && allowInsecurePassword !== true;

/** The error with the names of the options in the place of the paths: now and then a path is a secret, put there by mistake. */
export function withoutPaths(error: Error, { creds, nkeyFile, tls = {} }: NatsCredentials): Error {
  const options: [string, string | undefined][] = [
    ['the file of `connection.creds` (NATS_CREDS)', creds],
    ['the file of `connection.nkey` (NATS_NKEY)', nkeyFile],
    ['the file of `connection.tls.caFile` (NATS_CA)', tls.caFile],
    ['the file of `connection.tls.certFile` (NATS_CERT)', tls.certFile],
    ['the file of `connection.tls.keyFile` (NATS_KEY)', tls.keyFile],
  ];
  let { message } = error;
  for (const [option, file] of options) {
    if (file === undefined) continue;
    for (const form of [`'${file}'`, path.resolve(file), file]) message = message.replaceAll(form, option);
  }
  return message === error.message ? error : new Error(message);
}

/** What an error of the server says of our credentials; `undefined` if it is about something else. */
export const refusalOfCredentials = (code: unknown): string | undefined => REFUSALS.get(String(code));

const REFUSALS: ReadonlyMap<string, string> = new Map([
  [ErrorCode.AuthenticationExpired, 'its credentials have expired'],
  [ErrorCode.AccountExpired, 'its account has expired'],
  [ErrorCode.AuthorizationViolation, 'the server refuses its credentials'],
  [ErrorCode.AuthenticationTimeout, 'the server got no credentials from it in time'],
]);

const textIn = (path: string): string => readFileSync(path, 'utf8').trim();

/** The client's parser wants line feeds, one after the last line too. */
const credsIn = (path: string): Uint8Array => Buffer.from(`${textIn(path).replaceAll('\r\n', '\n')}\n`);
