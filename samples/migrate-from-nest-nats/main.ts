import './environment';
import { step0 } from './step-0-plain-nest';
import { step1 } from './step-1-consumers';
import { step2 } from './step-2-producers';
import { step3 } from './step-3-on-event';
import { story } from './story';

async function main(): Promise<void> {
  console.log('An application moves from the NATS transport of Nest to @venta/events.');
  story.heading('Step 0: plain Nest');
  await step0();
  story.heading('Step 1: the consumers listen both ways, their controllers unchanged');
  await step1();
  story.heading('Step 2: the producers emit into the stream');
  await step2();
  story.heading('Step 3: @OnEvent, contracts, no NATS transport');
  await step3();
}

void main();
