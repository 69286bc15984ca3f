-- 1: any certificate of the camera is taken, also one that it signed itself. Of rtsps addresses only.
ALTER TABLE links ADD COLUMN tls_insecure INTEGER NOT NULL DEFAULT 0;
