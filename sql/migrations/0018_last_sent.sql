-- What the moment is from which "absent" is waited for.

comment on column inbox.delivery.last_sent_at is
    'When the latest call that could take effect was over for us; when it began, while it is under way or if nobody saw its end. "Absent" proves nothing until the time that the target gives a request has passed since then.';
