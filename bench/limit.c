/* The broker's limit: what a client in C reaches with the same messages under the same guarantees as the relay.

   Persistent, mandatory, confirmed; the relay's properties and headers; the relay's exchange; at most WINDOW messages
   unconfirmed. It reads no database: its body is the same every time.

   cc -O2 -o limit limit.c -lrabbitmq
   BENCH_AMQP_URL=amqp://user:password@host:port/vhost ./limit EVENTS WINDOW PAYLOAD_BYTES EXCHANGE ROUTING_KEY

   Ends with 0 when every message was confirmed and none came back; prints its counts as JSON. */

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define CHANNEL 1
#define FRAME_MAX 131072
#define HEARTBEAT_SECONDS 60
#define SILENCE_SECONDS 30

enum { SEQUENCE, VERSION, KEY, PARTITION_KEY, SPEC_VERSION, ID, SOURCE, TYPE, HEADERS };

static void fail(const char *what) {
    fprintf(stderr, "limit: %s\n", what);
    exit(1);
}

static void require(amqp_rpc_reply_t reply, const char *what) {
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) fail(what);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static amqp_connection_state_t connected(void) {
    char *url = getenv("BENCH_AMQP_URL");
    struct amqp_connection_info info;
    if (url == NULL || amqp_parse_url(url, &info) != AMQP_STATUS_OK) fail("BENCH_AMQP_URL is not an AMQP URL");
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (socket == NULL || amqp_socket_open(socket, info.host, info.port) != AMQP_STATUS_OK) fail("cannot connect");
    const char *vhost = info.vhost[0] == '\0' ? "/" : info.vhost;
    require(amqp_login(connection, vhost, 0, FRAME_MAX, HEARTBEAT_SECONDS, AMQP_SASL_METHOD_PLAIN, info.user,
                       info.password),
            "cannot log in");
    amqp_channel_open(connection, CHANNEL);
    require(amqp_get_rpc_reply(connection), "cannot open a channel");
    amqp_confirm_select(connection, CHANNEL);
    require(amqp_get_rpc_reply(connection), "cannot switch confirms on");
    return connection;
}

static void text_header(amqp_table_entry_t *entry, const char *name, const char *value) {
    entry->key = amqp_cstring_bytes(name);
    entry->value.kind = AMQP_FIELD_KIND_UTF8;
    entry->value.value.bytes = amqp_cstring_bytes(value);
}

static void number_header(amqp_table_entry_t *entry, const char *name, int64_t value) {
    entry->key = amqp_cstring_bytes(name);
    entry->value.kind = AMQP_FIELD_KIND_I64;
    entry->value.value.i64 = value;
}

/* The relay's message, byte for byte of the same size; see outbox/model/envelope.py. */
static void publish(amqp_connection_state_t connection, long number, const char *exchange, const char *type,
                    amqp_bytes_t body) {
    char id[48], key[24];
    snprintf(id, sizeof id, "01890000-0000-4000-8000-%012ld", number);
    snprintf(key, sizeof key, "SO-%ld", number % 5000);
    amqp_table_entry_t headers[HEADERS];
    number_header(&headers[SEQUENCE], "sequence", number);
    number_header(&headers[VERSION], "version", 1);
    text_header(&headers[KEY], "key", key);
    text_header(&headers[PARTITION_KEY], "cloudEvents_partitionkey", key);
    text_header(&headers[SPEC_VERSION], "cloudEvents_specversion", "1.0");
    text_header(&headers[ID], "cloudEvents_id", id);
    text_header(&headers[SOURCE], "cloudEvents_source", "/outbox");
    text_header(&headers[TYPE], "cloudEvents_type", type);
    amqp_basic_properties_t properties;
    memset(&properties, 0, sizeof properties);
    properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                        AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG |
                        AMQP_BASIC_APP_ID_FLAG;
    properties.content_type = amqp_cstring_bytes("application/json");
    properties.headers.num_entries = HEADERS;
    properties.headers.entries = headers;
    properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
    properties.message_id = amqp_cstring_bytes(id);
    properties.timestamp = (uint64_t)time(NULL);
    properties.type = amqp_cstring_bytes(type);
    properties.app_id = amqp_cstring_bytes("outbox");
    const amqp_boolean_t mandatory = 1, immediate = 0;
    if (amqp_basic_publish(connection, CHANNEL, amqp_cstring_bytes(exchange), amqp_cstring_bytes(type), mandatory,
                           immediate, &properties, body) != AMQP_STATUS_OK)
        fail("the connection broke while publishing");
}

struct counts {
    long confirmed, refused, returned;
};

/* Confirms may come one by one in any order, or many at once. */
static void count_answer(uint64_t tag, amqp_boolean_t multiple, char *answered, uint64_t *lowest, long *count) {
    for (uint64_t one = multiple ? *lowest : tag; one <= tag; one++) {
        if (!answered[one]) {
            answered[one] = 1;
            ++*count;
        }
    }
    while (answered[*lowest]) ++*lowest;
}

static void wait_for_answer(amqp_connection_state_t connection, char *answered, uint64_t *lowest,
                            struct counts *counts) {
    struct timeval patience = {SILENCE_SECONDS, 0};
    amqp_frame_t frame;
    if (amqp_simple_wait_frame_noblock(connection, &frame, &patience) != AMQP_STATUS_OK) fail("the broker is silent");
    if (frame.frame_type != AMQP_FRAME_METHOD) return;
    if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
        amqp_basic_ack_t *ack = frame.payload.method.decoded;
        count_answer(ack->delivery_tag, ack->multiple, answered, lowest, &counts->confirmed);
    } else if (frame.payload.method.id == AMQP_BASIC_NACK_METHOD) {
        amqp_basic_nack_t *nack = frame.payload.method.decoded;
        count_answer(nack->delivery_tag, nack->multiple, answered, lowest, &counts->refused);
    } else if (frame.payload.method.id == AMQP_BASIC_RETURN_METHOD) {
        amqp_message_t message;
        require(amqp_read_message(connection, CHANNEL, &message, 0), "cannot read a returned message");
        amqp_destroy_message(&message);
        counts->returned++;
    } else {
        fail("the broker has closed the channel");
    }
}

int main(int count, char **arguments) {
    if (count != 6) fail("usage: limit EVENTS WINDOW PAYLOAD_BYTES EXCHANGE ROUTING_KEY");
    const long events = atol(arguments[1]), window = atol(arguments[2]);
    const size_t payload_bytes = (size_t)atol(arguments[3]);
    amqp_bytes_t body = {payload_bytes, malloc(payload_bytes)};
    /* One more than the highest tag ends the search for the lowest unanswered one. */
    char *answered = calloc((size_t)events + 2, 1);
    if (events < 1 || window < 1 || body.bytes == NULL || answered == NULL) fail("wrong counts, or no memory");
    memset(body.bytes, 'x', payload_bytes);
    amqp_connection_state_t connection = connected();
    struct counts counts = {0, 0, 0};
    uint64_t lowest = 1;
    long sent = 0;
    const double begun = now();
    while (counts.confirmed + counts.refused < events) {
        while (sent < events && sent - counts.confirmed - counts.refused < window)
            publish(connection, ++sent, arguments[4], arguments[5], body);
        wait_for_answer(connection, answered, &lowest, &counts);
        amqp_maybe_release_buffers(connection);
    }
    printf("{\"confirmed\": %ld, \"refused\": %ld, \"returned\": %ld, \"seconds\": %.6f}\n", counts.confirmed,
           counts.refused, counts.returned, now() - begun);
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
    return counts.refused == 0 && counts.returned == 0 ? 0 : 1;
}
