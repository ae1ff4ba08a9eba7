import {
  deadLetterSubject,
  durableName,
  durableOfRetry,
  eventNameOf,
  eventSubject,
  memberToken,
  retrySubject,
  sanitize,
} from '../../lib/core/names';

describe('a sanitised name', () => {
  it.each([
    ['user-service', 'user-service'],
    ['User Service', 'User-Service'],
    ['  padded  ', 'padded'],
    ['Notifications.welcome', 'Notifications-welcome'],
    ['a.b > c', 'a-b-all-c'],
    ['user.*', 'user-any'],
    ['vendor.>', 'vendor-all'],
    ['snake_case', 'snake_case'],
    ['double__underscore', 'double_underscore'],
    ['a___b____c', 'a_b_c'],
    ['Größe', 'Gr-e'],
    ['line\r\nbreak', 'line-break'],
  ])('of %j is %j', (text, expected) => {
    expect(sanitize(text)).toBe(expected);
  });

  it.each([
    '',
    ' ',
    '...',
    '日本語',
    '🎉',
    '\r\n',
    'ü',
    '*',
    '>',
    'x'.repeat(500),
    'ü'.repeat(500),
    '_'.repeat(9),
    'a _ _ b',
  ])('of %j is one token of a NATS name, without `__`, of at most 100 characters', (text) => {
    expect(sanitize(text)).toMatch(/^[A-Za-z0-9_-]{1,100}$/);
    expect(sanitize(text)).not.toContain('__');
  });

  it.each([
    ['日本語', '中国語'],
    [`${'x'.repeat(200)}a`, `${'x'.repeat(200)}b`],
  ])('of texts that have nothing in common but what is cut off differs: %j and %j', (one, other) => {
    expect(sanitize(one)).not.toBe(sanitize(other));
  });

  it.each(['shop', 'Notifications.welcome', 'a.b.c', 'v2.1', 'x'.repeat(100), `${'x'.repeat(98)}.y`])(
    'of %j is the same, padded or not: there is a short way for what most names are',
    (text) => {
      expect(sanitize(text)).toBe(sanitize(`${text} `));
    },
  );

  it.each([
    ['Notifications', 'welcome'],
    ['snake_case', 'run'],
    ['Snake', '_private'],
    ['Snake', 'snake_case'],
    ['$Dollar', 'run'],
    ['Größe', 'ändern'],
    ['', 'run'],
    ['Anonymous', ''],
    ['a.b', 'c.d'],
    ['x'.repeat(50), 'y'.repeat(49)],
    ['x'.repeat(50), 'y'.repeat(50)],
    ['x'.repeat(120), 'y'],
    ['日本語', '中国語'],
  ])('of a method is that of `%s.%s`, however it is made', (owner, member) => {
    expect(memberToken(owner)(member)).toBe(sanitize(`${owner}.${member}`));
  });

  it('is stable: another version of the package must find the same durables', () => {
    expect(sanitize('日本語')).toBe('x-77710aed');
    expect(durableName('User Service', 'Notifications.welcome')).toBe('User-Service__Notifications-welcome');
    expect(durableName('shop', 'Audit.note', 'user.*')).toBe('shop__Audit-note__user-any');
  });
});

describe('subjects', () => {
  it('of an event have the cluster id in front', () => {
    expect(eventSubject('events', 'user.created')).toBe('events.user.created');
    expect(eventNameOf('events', 'events.user.created')).toBe('user.created');
  });

  it('of others are taken whole for the name', () => {
    expect(eventNameOf('events', 'eventsuser.created')).toBe('eventsuser.created');
    expect(eventNameOf('events', 'other.user.created')).toBe('other.user.created');
  });

  it('of a dead letter say handler, identity and event', () => {
    expect(deadLetterSubject('events', 'shop__Mail-send', 42, '1700000000000000001', 'user.created')).toBe(
      'events-dlq.shop__Mail-send.42-1700000000000000001.user.created',
    );
  });
});

describe('the way back of a dead letter', () => {
  it.each(['svc', 'svc_', '_svc', 'a_b', 'User Service', '日本'])(
    'leads from the durable of service %j to its handler, and back',
    (app) => {
      const durable = durableName(app, '_Jobs.run_', 'job.*');
      const subject = retrySubject('events', durable);
      // The service listens to this, whatever its handlers are called.
      expect(subject.startsWith(`events-retry.${sanitize(app)}.`)).toBe(true);
      expect(durableOfRetry('events', subject)).toBe(durable);
    },
  );
});

describe('F73 the durables of two wildcards', () => {
  it.each([
    ['user-profile.*', 'user.profile.*'],
    ['a.any.*', 'a.*.*'],
    ['a.all', 'a.>'],
    ['a__b.*', 'a_b.*'],
    ['_a.*', 'a.*'],
    ['a-.b.*', 'a.-b.*'],
    ['user-profile.>', 'user.profile.>'],
  ])('(%s and %s) are two', (one, other) => {
    expect(durableName('shop', 'Audit.note', one)).not.toBe(durableName('shop', 'Audit.note', other));
  });

  it.each([
    ['vendor.>', 'vendor-all'],
    ['*.created', 'any-created'],
    ['user_profile.*', 'user_profile-any'],
  ])('(%s) have no digest where the pattern shows', (pattern, token) => {
    expect(durableName('shop', 'Audit.note', pattern)).toBe(`shop__Audit-note__${token}`);
  });
});
