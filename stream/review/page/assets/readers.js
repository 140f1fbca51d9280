// How far two readers agree.

export class ReadersView {
  async enter() {}
}
