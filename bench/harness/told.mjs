/** In a program of `runProgram`: hands a result over, and goes on when the parent has seen it. */
export function told(message) {
  return new Promise((resolve) => {
    process.once('message', resolve);
    process.send(message);
  });
}
