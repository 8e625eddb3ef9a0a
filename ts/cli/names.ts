/** Words of the flow vector and tables, as people read them. */
import { flowWord, TABLE_EGRESS, TABLE_SUB } from '../abi/generated.js';

const starts = Object.entries(flowWord).filter(([name]) => name !== 'FW_WORDS')
  .map(([name, word]) => ({ name: name.slice(3).toLowerCase(), word }))
  .sort((a, b) => b.word - a.word);

/** "ip_src.3": the fourth word of a field; registers by their number. */
export function wordName(word: number): string {
  if (word <= flowWord.FW_REG9) return `reg${word}`;
  const start = starts.find((entry) => entry.word <= word);
  if (!start) return `w${word}`;
  return start.word === word ? start.name : `${start.name}.${word - start.word}`;
}

/** "ingress 8", "egress 0", "sub 1". */
export function tableName(table: number): string {
  if (table >= TABLE_SUB) return `sub ${table - TABLE_SUB}`;
  return table >= TABLE_EGRESS ? `egress ${table - TABLE_EGRESS}` : `ingress ${table}`;
}
