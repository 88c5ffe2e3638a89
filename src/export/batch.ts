/** Encoded spans: one request. */
export interface Batch {
  /** The request's body, in pieces. */
  readonly body: readonly Uint8Array[];
  readonly byteLength: number;
  readonly spanCount: number;
}
