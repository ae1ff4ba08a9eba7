import { type NatsConnection, headers as natsHeaders } from 'nats';
import { Collector } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';

const nats = onNats();

const noResponders = natsHeaders(503, 'No Responders');

/** Answers by the last token of the event's name. */
const ANSWERS: Readonly<Record<string, (client: NatsConnection, reply: string) => void>> = {
  text: (client, reply) => client.publish(reply, 'thank you'),
  empty: (client, reply) => client.publish(reply),
  noResponders: (client, reply) => client.publish(reply, undefined, { headers: noResponders }),
  number: (client, reply) => client.publish(reply, '7'),
  null: (client, reply) => client.publish(reply, 'null'),
  array: (client, reply) => client.publish(reply, '[{"stream":"x","seq":1}]'),
  object: (client, reply) => client.publish(reply, '{"ok":true}'),
  nest: (client, reply) => client.publish(reply, '{"response":"an answer","isDisposed":true,"id":7}'),
  otherStream: (client, reply) => client.publish(reply, '{"stream":"x","seq":1}'),
  otherStreamDuplicate: (client, reply) => client.publish(reply, '{"stream":"x","seq":1,"duplicate":true}'),
  noStream: (client, reply) => client.publish(reply, '{"seq":1}'),
  errorText: (client, reply) => client.publish(reply, '{"error":"sorry"}'),
  errorWithoutCode: (client, reply) => client.publish(reply, '{"error":{"code":500,"description":"sorry"}}'),
  errorOfNoStream: (client, reply) =>
    client.publish(
      reply,
      '{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}',
    ),
  errorOfOtherStream: (client, reply) =>
    client.publish(
      reply,
      '{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"x","seq":0}',
    ),
  binary: (client, reply) => client.publish(reply, Buffer.of(0xff, 0xfe, 0x00, 0x7b)),
};

/** Somebody who listens to our events with a plain client, and answers each of them. */
async function answering(): Promise<Collector<string>> {
  const client = await nats.client();
  const answered = new Collector<string>('events that were answered');
  client.subscribe(nats.subject('>'), {
    callback: (_error, { subject, reply }) => {
      const kind = subject.split('.').at(-1)!;
      ANSWERS[kind]?.(client, reply!);
      // The server has the answer when it has answered the ping behind it.
      void client.flush().then(() => answered.add(kind));
    },
  });
  await client.flush();
  return answered;
}

it('F31 an emit is confirmed by the event stream alone, whatever other subscribers answer', async () => {
  await answering();
  const shop = await nats.service();

  const kinds = Object.keys(ANSWERS);
  const results = await Promise.allSettled(kinds.map((kind) => shop.emit(`answer.${kind}`, kind)));

  expect(byKind(kinds, results)).toEqual(
    Object.fromEntries(kinds.map((kind) => [kind, `stored in ${nats.clusterId}`])),
  );
  expect((await nats.stored()).map(({ body }) => body.toString()).sort()).toEqual(
    kinds.map((kind) => JSON.stringify(kind)).sort(),
  );
});

// With the stream away for a moment, the subscriber is sure to answer first.
it('F31 an emit that others have answered waits for the event stream', async () => {
  const answered = await answering();
  const shop = await nats.service();
  const { streams } = await (await nats.client()).jetstreamManager();
  const { config } = await streams.info(nats.clusterId);
  await streams.delete(nats.clusterId);

  const kinds = Object.keys(ANSWERS);
  const emits = Promise.allSettled(kinds.map((kind) => shop.emit(`answer.${kind}`, kind)));
  await answered.until((all) => kinds.every((kind) => all.includes(kind)), 'an answer of each kind');
  await streams.add(config);

  expect(byKind(kinds, await emits)).toEqual(
    Object.fromEntries(kinds.map((kind) => [kind, `stored in ${nats.clusterId}`])),
  );
});

it('F31 an emit nobody but others answer is not confirmed', async () => {
  const answered = await answering();
  const shop = await nats.service({ publishTimeout: 700 });
  const { streams } = await (await nats.client()).jetstreamManager();
  await streams.delete(nats.clusterId);

  const kinds = Object.keys(ANSWERS);
  const results = await Promise.allSettled(kinds.map((kind) => shop.emit(`answer.${kind}`, kind)));
  await answered.until((all) => kinds.every((kind) => all.includes(kind)), 'an answer of each kind');

  expect(byKind(kinds, results)).toEqual(
    // Who answers with the server's own "no responders" is believed, as long as nobody else says otherwise.
    Object.fromEntries(
      kinds.map((kind) => [kind, kind === 'noResponders' ? 'no_stream' : 'publish_unconfirmed']),
    ),
  );
});

function byKind(
  kinds: readonly string[],
  results: readonly PromiseSettledResult<{ stream?: string }>[],
): Record<string, string> {
  const outcomes: Record<string, string> = {};
  results.forEach((result, i) => {
    outcomes[kinds[i]!] =
      result.status === 'fulfilled'
        ? `stored in ${result.value.stream}`
        : String((result.reason as { code?: string }).code ?? result.reason);
  });
  return outcomes;
}
