/*
 * auth_sasl_scram_keys.h: the keys of "pencil": with the salt and rounds of the examples
 * in RFC 5802 s.5 and RFC 7677 s.3. Made by Python's hashlib and hmac.
 */
#ifndef AUTH_SASL_SCRAM_KEYS_H
#define AUTH_SASL_SCRAM_KEYS_H

#define KEYS_SHA_1                                                                       \
	"{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,"               \
	"D+CSWLOshSulAsxiupA+qs2/fTE="
#define KEYS_SHA_256                                                                     \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"                                  \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"                                  \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
/* The last as PostgreSQL keeps it. */
#define KEYS_POSTGRESQL                                                                  \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"                                   \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                                  \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#endif
