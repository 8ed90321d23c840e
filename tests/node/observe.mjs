// Loaded before a consumer of docs/consuming.md: tells on standard error, in JSON, what the consumer does with the broker.
// With a message's id as last argument, acknowledging that message never happens, so that the process can be killed there.

import amqp from "amqplib";

const hangAt = process.argv[2];
const tell = (event, fields = {}) => process.stderr.write(`${JSON.stringify({ event, ...fields })}\n`);

function observed(channel) {
  const { consume, ack, reject } = channel;
  channel.consume = async (queue, take, options) => {
    const told = (message) => {
      if (message !== null) {
        const { properties, fields, content } = message;
        const headers = Object.entries(properties.headers ?? {}).map(([name, value]) => [name, typeof value, value]);
        tell("arrived", { ...properties, headers, routingKey: fields.routingKey, body: content.toString("base64") });
      }
      return take(message);
    };
    const reply = await consume.call(channel, queue, told, options);
    tell("consuming");
    return reply;
  };
  channel.ack = (message) => {
    tell("acknowledging", { message_id: message.properties.messageId });
    if (message.properties.messageId !== hangAt) ack.call(channel, message);
  };
  channel.reject = (message, ...options) => {
    tell("rejecting", { message_id: message.properties.messageId ?? null });
    reject.call(channel, message, ...options);
  };
  return channel;
}

const { connect } = amqp;
amqp.connect = async (...where) => {
  const connection = await connect(...where);
  const { createChannel } = connection;
  connection.createChannel = async () => observed(await createChannel.call(connection));
  return connection;
};
