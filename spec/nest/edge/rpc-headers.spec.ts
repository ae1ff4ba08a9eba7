import 'reflect-metadata';
import { Metadata } from '@grpc/grpc-js';
import {
  KafkaContext,
  MqttContext,
  NatsContext,
  RedisContext,
  RmqContext,
  TcpContext,
} from '@nestjs/microservices';
import { headers } from 'nats';
import { rpcHeadersOf } from '../../../lib/nest/edge/rpc-headers';

const grpc = (): Metadata => {
  const metadata = new Metadata();
  metadata.set('X-Correlation-Id', 'case 7');
  return metadata;
};

const nats = (key: string): NatsContext => {
  const own = headers();
  own.append(key, 'case 7');
  own.append(key, 'another');
  return new NatsContext(['orders.place', own]);
};

const kafka = (value: unknown): KafkaContext =>
  new KafkaContext([{ headers: { 'X-Correlation-Id': value } }, 0, 'orders'] as never);

const rabbit = (): RmqContext =>
  new RmqContext([
    { properties: { headers: { 'x-correlation-id': 'case 7', other: 1 } }, headers: 'none' },
    {},
    'orders',
  ]);

const mqtt = (value: unknown): MqttContext =>
  new MqttContext(['orders', { properties: { userProperties: { 'x-correlation-id': value } } }]);

describe('the headers of a message', () => {
  it.each<[string, unknown[]]>([
    ['NATS', [{}, nats('x-correlation-id')]],
    ['NATS, in any case', [{}, nats('X-CORRELATION-ID')]],
    ['gRPC', [{}, grpc(), {}]],
    ['a gRPC call that the handler reads itself', [{ metadata: grpc() }]],
    ['Kafka, as bytes', [{}, kafka(Buffer.from('case 7'))]],
    ['Kafka, as a list', [{}, kafka([Buffer.from('case 7'), Buffer.from('another')])]],
    ['Kafka, as text', [{}, kafka('case 7')]],
    ['RabbitMQ', [{}, rabbit()]],
    ['MQTT 5', [{}, mqtt('case 7')]],
    ['MQTT 5, as a list', [{}, mqtt(['case 7', 'another'])]],
  ])('are found for %s', (_title, args) => {
    const lookup = rpcHeadersOf(args);

    expect(lookup?.('x-correlation-id')).toBe('case 7');
    expect(lookup?.('x-request-id')).toBeUndefined();
  });

  it.each<[string, unknown[]]>([
    ['NATS', [{}, new NatsContext(['orders.place', undefined])]],
    ['gRPC', [{}, new Metadata(), {}]],
    ['Kafka', [{}, new KafkaContext([{}, 0, 'orders'] as never)]],
    ['RabbitMQ', [{}, new RmqContext([{ properties: {} }, {}, 'orders'])]],
    ['MQTT', [{}, new MqttContext(['orders', {}])]],
  ])('are none for a message of %s that has none', (_title, args) => {
    expect(rpcHeadersOf(args)?.('x-correlation-id')).toBeUndefined();
    expect(rpcHeadersOf(args)).toBeDefined();
  });

  it.each<[string, unknown[]]>([
    ['TCP', [{ metadata: { 'x-correlation-id': 'data' } }, new TcpContext([{}, 'orders'] as never)]],
    ['Redis', [{ getHeaders: 'data' }, new RedisContext(['orders'])]],
    ['a transport that gives no context', [{ headers: { 'x-correlation-id': 'data' } }]],
    ['a transport that gives nothing', []],
  ])('have no place with %s, and data is not taken for them', (_title, args) => {
    expect(rpcHeadersOf(args)).toBeUndefined();
  });
});
