/** Nest 11's NATS transport. Option `interceptor`: one that does nothing. */
import 'reflect-metadata';
import * as common from '@nestjs/common';
import * as core from '@nestjs/core';
import * as microservices from '@nestjs/microservices';
import { headers } from 'nats';
import * as rxjs from 'rxjs';
import { nestNats } from './nest-nats.mjs';

export const { publisher, subscriber } = nestNats({ common, core, microservices, rxjs, headers });
