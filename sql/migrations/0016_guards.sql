-- Of two calls of a key at once, nobody could say which one took effect last.

create unique index delivery_applying_key on inbox.delivery (flow, key) where state = 'applying' and key is not null;
comment on index inbox.delivery_applying_key is 'Never two calls of one key at once, whoever begins them.';
