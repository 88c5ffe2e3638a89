/** A body that cannot be read at all. The message is for the developer of the sender: what is wrong, and where. */
export class MalformedPayload extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MalformedPayload";
  }
}
